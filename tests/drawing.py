"""A function task that does what its parameter `program` says: it draws, and it changes its process."""

DRAWING = '''
    import os
    import random
    import sys
    import tempfile
    import warnings
    from contextlib import nullcontext

    import numpy as np

    def torch():
        import torch  # not before a program asks for it
        return torch

    def train(config, context):
        """A letter of the program is an action; each epoch takes all of them."""
        for epoch in range(context.epochs):
            found = [action(letter, config, context, epoch) for letter in config["program"]]
            value = sum((place + 1) * float(number) for place, number in enumerate(found))
            with within(config["program"]):
                yield {"val_loss": value}

    def within(program):
        if program.endswith("N"):
            return torch().no_grad()
        if program.endswith("I"):
            return torch().inference_mode()
        return np.errstate(divide="ignore") if program.endswith("E") else nullcontext()

    def action(letter, config, context, epoch):
        match letter:
            case "r":
                return random.random()
            case "n":
                return np.random.rand()
            case "t":
                return torch().rand(())
            case "p":
                return torch().randperm(1000)[0]
            case "d":
                return torch().nn.functional.dropout(torch().ones(100), 0.5).sum()
            case "g":  # whether gradients are tracked
                w = torch().ones((), requires_grad=True)
                return (2 * w).requires_grad
            case "s":
                random.seed(context.seed)
                np.random.seed(context.seed)
                torch().manual_seed(context.seed)
                return 0
            case "S":
                random.seed(epoch)
                np.random.seed(epoch)
                torch().manual_seed(epoch)
                return 0
            case "c":
                config["a"] *= 2
                return config["a"]
            case "x":
                return config.pop("extra", 5)
            case "f":  # a type that is set for the rest
                torch().set_default_dtype(torch().float64)
                return 0
            case "F":
                return torch().rand(()).element_size()
            case "h":
                torch().set_num_threads(torch().get_num_threads() + 1)
                return torch().get_num_threads()
            case "v":
                os.environ["DRAWN"] = str(1 + int(os.environ.get("DRAWN", "0")))
                return os.environ["DRAWN"]
            case "e":
                before = np.geterr()["divide"] == "raise"
                np.seterr(divide="raise")
                return before
            case "w":
                warnings.simplefilter("ignore", UserWarning)
                return sum(each[0] == "ignore" and each[2] is UserWarning for each in warnings.filters)
            case "k":
                folder = os.environ.setdefault("FOLDER", tempfile.mkdtemp())
                inside = os.getcwd() == os.path.realpath(folder)
                os.chdir(folder)
                return inside
            case "y":
                sys.path.insert(0, "nowhere")
                return sys.path.count("nowhere")
            case _:
                return 0
'''

#: Each shows another kind of state: of a generator, of the configuration, of the process.
PROGRAMS = ("rntpd", "srntpd", "cx", "tfF", "rSndt", "gdN", "gI", "hvwky", "e", "ndE", "ct")
