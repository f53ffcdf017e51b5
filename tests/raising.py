"""A task whose exceptions are hard to bring to another process: one a level, by the position in CASES."""

RAISING = r"""
    import threading

    class Demanding(Exception):
        def __init__(self, layer, shape):
            super().__init__(f"layer {layer} cannot take {shape}")

    class Holding(Exception):
        def __init__(self, message):
            super().__init__(message)
            self.lock = threading.Lock()

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    class Stubborn(Exception):
        def __reduce__(self):
            raise TypeError("stays here")

    def demanding():
        raise Demanding("conv1", (3, 4))

    def holding():
        raise Holding("a lock")

    def mute():
        raise Mute

    def stubborn():
        raise Stubborn("not to be moved")

    def local():
        class Local(Exception): ...
        raise Local("known here alone")

    def group():
        raise ExceptionGroup("both", [Demanding("a", 1), Stubborn("b")])

    def chained():
        try:
            demanding()
        except Demanding as error:
            raise ValueError("while building") from error

    def surrogate():
        raise ValueError("caf\udce9")

    def lines():
        raise ValueError("first\nsecond\n" + "x" * 200_000)

    def long():
        raise ValueError("y" * 100_000)

    def own_main():
        scope = {"__name__": "__main__"}
        exec("class Main(Exception): ...", scope)
        raise scope["Main"]("of no module")

    CASES = [demanding, holding, mute, stubborn, local, group, chained, surrogate, lines, long, own_main]

    def task(config, context):
        yield {"val_accuracy": 1.0}
        CASES[config["level"]]()
"""

#: Of each case: the line that is recorded, and what its log holds besides the traceback.
EXPECTED = (
    ("Demanding: layer conv1 cannot take (3, 4)", "in demanding"),
    ("Holding: a lock", "in holding"),
    ("Mute (its message cannot be shown: its __str__ raises)", "in mute"),
    ("Stubborn: not to be moved", "in stubborn"),
    ("Local: known here alone", "in local"),
    ("ExceptionGroup: both (2 sub-exceptions)", "Demanding: layer a cannot take 1"),
    ("ValueError: while building", "direct cause"),
    ("ValueError: caf\\udce9", "caf\\udce9"),
    ("ValueError: first", "second"),
    (f"ValueError: {'y' * 500}...", "characters left out"),
    ("Main: of no module", "in own_main"),
)
