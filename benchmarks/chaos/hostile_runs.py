"""Run folders as a stranger may have made them up: each a change of a run that was interrupted."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

from benchmarks.chaos.forging import (
    FAR,
    NEAR,
    RECORD,
    Make,
    added,
    bomb,
    changed,
    checkpoint,
    code_in_archive,
    code_in_pickle,
    content,
    extended,
    field,
    file,
    folder,
    hard_link,
    journal,
    link,
    metric,
    pipe,
    raw,
    rezipped,
    sampler,
    source,
    space,
    summary,
    triggered,
)

_DEEP = b'{"event":"opened","t":1,"provenance":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_LONG = b'{"event":"stopped","t":1,"trial":"1.1","reason":"' + b"x" * 100_000_000 + b'"}'
#: What a browser would run.
SCRIPT = "<script>alert(1)</script>"

RUNS: dict[str, Make] = {
    # names of files
    **{
        f"the {key} of a {kind} event is {name!r}"[:90]: file(kind, key, name)
        for kind, key, name in (
            ("finished", "weights", f"{FAR}/thesis.tex"),
            ("finished", "weights", "/etc/passwd"),
            ("finished", "weights", f"..\\{FAR}"),
            ("finished", "weights", "1-0-000002-weights.pt\0"),
            ("finished", "weights", "1-0-000002-weights.pt/.."),
            ("finished", "saved", "..."),
            ("finished", "saved", "mine.pt"),
            ("finished", "saved", "-rf"),
            ("checkpoint", "saved", f"{FAR}/thesis.tex"),
            ("started", "start", f"{FAR}/vault/c.pt"),
        )
    },
    "a log elsewhere": added(event="failed", trial="2.1", sample=2, reason="x", log=f"{NEAR}/secret.txt"),
    "a log at an absolute path": added(event="failed", trial="2.1", sample=2, reason="x", log="/etc/passwd"),
    "a log above logs": added(event="failed", trial="2.1", sample=2, reason="x", log="logs/../record.jsonl"),
    "a trial named as a path": field("started", trial=f"{FAR}/secret"),
    "a trial named 2.1/../x": field("started", trial="2.1/../x"),
    "a metric named as a path": metric("/../../../../../outside/pwned"),
    "a metric named /etc/x": metric("/etc/x"),
    "a metric in HTML": metric(SCRIPT),
    "a name of the space as a path": field("created", space=f"{NEAR}/x"),
    "a run that it confirms elsewhere": field("created", confirms=f"{NEAR}/vault"),
    "a run that it confirms above": field("created", confirms=".."),
    # places
    "data elsewhere": source(data=f"{NEAR}/private", path=None),
    "data at a path": source(data="gone", path=str(Path("/outside"))),
    "data under a built-in name at a path": source(data="phantom", path="/etc"),
    "a storage elsewhere": field("opened", storage=f"{NEAR}/vault"),
    "a storage on the net": field("opened", storage="s3://somebody/runs"),
    # code
    "a task of its own": space("task: pneumonia", "task: evil:Task"),
    "a task among Python's modules": space("task: pneumonia", "task: this:s"),
    "a task that opens a browser": space("task: pneumonia", "task: antigravity:fly"),
    "a task in a package": space("task: pneumonia", "task: evil.deep.er:Task"),
    "a task of an extension": extended("task: pneumonia", "task: evil:Task"),
    "a task that is no name": space("task: pneumonia", "task: ../outside/evil:Task"),
    "a sampler of its own": sampler,
    "files of code elsewhere": added(
        event="code", trial="1.1", files={f"{FAR}/evil.py": "0" * 64}, versions={}
    ),
    # links
    **{
        f"{name} is a link": link(name, target)
        for name, target in (
            (RECORD, f"{NEAR}/record.jsonl"),
            ("checkpoints", f"{NEAR}/vault"),
            ("results.csv", f"{NEAR}/thesis.tex"),
            ("results.csv.part", f"{NEAR}/thesis.tex"),
            ("space.yaml.part", f"{NEAR}/new"),
            (".lock", f"{NEAR}/thesis.tex"),
            ("summary.json", f"{NEAR}/secret.txt"),
            ("study.db", f"{NEAR}/new.db"),
            ("test_scores.bin", f"{NEAR}/thesis.tex"),
            ("test_images.csv", f"{NEAR}/secret.txt"),
            ("report", f"{NEAR}/vault"),
            ("control", f"{NEAR}/vault"),
            ("logs/1.1.log", f"../{NEAR}/secret.txt"),
            ("logs/2-0-1.out", f"../{NEAR}/thesis.tex"),
        )
    },
    "a link to a link within": link("report", "logs"),
    "the journal of study.db is a link": journal,
    "a pipe among the checkpoints": pipe("checkpoints/9-0-000001-state.pt"),
    "a pipe as summary.json": pipe("summary.json"),
    "a pipe as the record": pipe(RECORD),
    "test_scores.bin is a file of the user's": hard_link("test_scores.bin"),
    ".lock is a file of the user's": hard_link(".lock"),
    # sizes
    "test scores of 10^12 numbers": field("finished", scores={"offset": 0, "shape": [2, 10**12]}),
    "test scores of 10^400 numbers": field("finished", scores={"offset": 0, "shape": [2, 10**400]}),
    "test scores before the file": field("finished", scores={"offset": -4, "shape": [2, 2]}),
    "an epoch 10^12": field("epoch", epoch=10**12),
    "an end after epoch 10^12": added(event="ended", trial="2.1", epoch=10**12, replicates=[0], by="task"),
    "10^9 replicates": space("seeds: 2", "seeds: 1000000000"),
    "10^9 seeds of a batch": added(
        event="batch", samples=[1], seeds=[10**9], among=[1], before=2, after=10**9, looks=2, budget=10**9
    ),
    "10^9 epochs": space("epochs: 2", "epochs: 1000000000"),
    "a grid of 10^12 points": space(
        "space:", "space:\n" + "".join(f"  p{i}: {{grid: {list(range(100))}}}\n" for i in range(6)) + "#"
    ),
    "a line of 100 MB": raw(_LONG),
    "JSON 100,000 deep": raw(_DEEP),
    "a number of 10,000 digits": raw(b'{"event":"opened","t":1' + b"0" * 10_000 + b"}"),
    "NaN": raw(b'{"event":"opened","t":NaN,"provenance":{}}'),
    "a date beyond all dates": field("started", t=1e300),
    "10^9 threads": field(
        "created", numerics={"replicates": "looped", "threads": 10**9, "precision": "float32"}
    ),
    "YAML that grows": space("task: pneumonia", "a: &a [x, x]\nb: &b [*a, *a]\ntask: pneumonia"),
    "YAML 100,000 deep": space("space:", "space: " + "[" * 100_000 + "\nb:"),
    "YAML with a tag": space(
        "task: pneumonia", "task: !!python/object/apply:os.system ['touch ../outside/executed']"
    ),
    # types and order
    "no event": raw(b"[1, 2]"),
    "a duplicate of itself": field("planned", twin=2),
    "a duplicate of nothing": field("planned", twin=99),
    "a configuration of lists": field("planned", config={"lr": [1, 2]}),
    "samples twice": added(event="planned", sample=1, fingerprint="f", config={"lr": 1.0}, twin=None),
    "an epoch of nothing": added(event="epoch", trial="9.9", epoch=1, metrics={}, durations_s=[]),
    "no replicates": field("started", replicates=[]),
    "a device in escapes": field("started", node="\x1b]0;pwned\x07"),
    "a space in HTML": field("created", space=SCRIPT),
    "provenance of other types": field("opened", provenance={"versions": 1, "code": [], "argv": 5}),
    "data of other types": changed("created", lambda event: event.update(data={"source": 1})),
    "data in HTML": changed("created", lambda event: event.update(data={**event["data"], "source": SCRIPT})),
    # files beside the record
    "a summary of other types": summary,
    "a summary 100,000 deep": content("summary.json", b"[" * 100_000),
    "a study that is garbage": content("study.db", b"no database" * 1000),
    "a study with triggers": triggered,
    "garbage as test_images.csv": content("test_images.csv", b"\xff\0,\n" * 1000),
    "garbage as test_scores.bin": content("test_scores.bin", b"x"),
    "a request to stop of other types": content("control/1.json", b'{"do": "stop", "sample": [1]}'),
    "a request to stop 100,000 deep": content("control/1.json", b"[" * 100_000),
    "a folder as a request": folder("control/1.json"),
    "a folder among the checkpoints": folder("checkpoints/9-0-000001-state.pt"),
    "a folder as results.csv": folder("results.csv"),
    "a folder as .lock": folder(".lock"),
    "a folder as study.db": folder("study.db"),
    "a checkpoint that is a pickle": checkpoint(code_in_pickle),
    "a checkpoint with code": checkpoint(code_in_archive),
    "a checkpoint that grows": checkpoint(bomb),
    "a checkpoint of nothing": checkpoint(lambda _: b""),
    "a checkpoint that is compressed": checkpoint(
        partial(rezipped, change=lambda _, part: part, compression=zipfile.ZIP_DEFLATED)
    ),
}
