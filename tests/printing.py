"""A task that prints in every way there is, to be found in its log."""

PRINTING = r"""
    import ctypes, logging, os, subprocess, sys, threading, warnings

    early = sys.stderr
    log = logging.Logger(__name__)
    log.addHandler(logging.StreamHandler())

    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            name = f"{config['level']}.{context.replicate}.{epoch}"
            print("printed", name)
            print("partly", end=" ")
            sys.stderr.write(f"\rbar {name}")
            sys.stderr.write(f"\rbar done {name}\n")
            log.info("logged %s", name)
            warnings.warn(f"warned {name}")
            print("early", name, file=early)
            os.write(2, f"descriptor {name}\n".encode())
            ctypes.CDLL(None).puts(f"from C {name}".encode())
            subprocess.run(["echo", f"process {name}"])
            subprocess.run(["echo", f"handed {name}"], stdout=sys.stdout)
            thread = threading.Thread(target=print, args=(f"thread {name}",))
            thread.start()
            thread.join()
            print(f"surrogate \udce9 {name}")
            if config["level"] == 2 and epoch == 2:
                raise ValueError("cannot bear two")
            if config["level"] == 3 and epoch == 2:
                os.write(1, b"last words\n")
                os._exit(3)
            yield {"val_accuracy": 1.0}
"""

#: How each way begins the line in which a trial, replicate and epoch follow.
WAYS = (
    *("printed", "bar done", "logged", "descriptor", "from C", "process", "handed"),
    *("thread", r"surrogate \udce9"),
)
