"""``clusters/kuberay.yaml`` against a schema that knows every field, and takes no other.

KubeRay's own fields are in kuberay.json; those of Kubernetes, of which they are full, come from the classes
of lightkube-models, which are made from Kubernetes' own description of itself.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tune_app.cluster.cluster_file import read

ROOT = Path(__file__).parents[2]
FILE = ROOT / "clusters/kuberay.yaml"
QUANTITY = {
    "type": ["string", "integer", "number"],
    "pattern": r"^[+-]?[0-9.]+([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$",
}
#: Fields that are a bare mapping in the classes, and hold something narrower in truth.
NARROWER = {
    **dict.fromkeys(["limits", "requests"], QUANTITY),
    **{key: {"type": "string"} for key in ["annotations", "labels", "matchLabels", "nodeSelector"]},
}

if importlib.util.find_spec("lightkube") is None:
    pytest.skip("needs lightkube-models: pip install lightkube-models", allow_module_level=True)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Of RayJobs; closed at every level."""
    schema = json.loads((Path(__file__).with_name("kuberay.json")).read_text())
    found = schema["$defs"]
    with pytest.MonkeyPatch.context() as patch:
        # The client that the classes belong to is not needed, but for what it makes dataclasses with.
        core = types.SimpleNamespace(
            DictMixin=object, field=dataclasses.field, dataclass=dataclasses.dataclass
        )
        for name in ("lightkube.core", "lightkube.core.schema"):
            patch.setitem(sys.modules, name, typing.cast(types.ModuleType, core))
        from lightkube.models import core_v1, meta_v1

        missing = ["ObjectMeta"]
        while missing:
            for name in missing:
                found[name] = of_class(getattr(core_v1, name, None) or getattr(meta_v1, name))
            missing = sorted(set(re.findall(r'#/\$defs/(\w+)"', json.dumps(schema))) - found.keys())
    for each in objects(schema):
        each |= {"type": "object", "additionalProperties": False}
    schema["$ref"] = "#/$defs/RayJob"
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def of_class(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    fields = {each.metadata.get("json", each.name): each for each in dataclasses.fields(kind)}
    return {
        "properties": {name: of_type(hints[each.name], name) for name, each in fields.items()},
        "required": [name for name, each in fields.items() if each.default is dataclasses.MISSING],
    }


def of_type(hint: Any, name: str) -> dict[str, Any]:
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    match typing.get_origin(hint) or hint:
        case typing.Union if len(arguments) == 1:
            return of_type(arguments[0], name)
        case typing.Union:
            return {"anyOf": [of_type(each, name) for each in arguments]}
        case kind if kind is list:
            return {"type": "array", "items": of_type(arguments[0], name)}
        case kind if kind is dict:
            return {"type": "object", "additionalProperties": NARROWER.get(name, True)}
        case kind if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return {"$ref": f"#/$defs/{kind.__name__}"}
        case kind:
            return {
                "type": {str: "string", int: "integer", bool: "boolean", float: "number"}.get(kind, "string")
            }


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every part of a schema that describes an object by its properties."""
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]
    if not isinstance(schema, dict):
        return []
    inner = [found for each in schema.values() for found in objects(each)]
    return [schema, *inner] if isinstance(schema.get("properties"), dict) and "type" not in schema else inner


def errors(validator: Draft202012Validator, text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "kuberay.yaml"
    file.write_text(text)
    [document] = read(file)
    found = validator.iter_errors(document.values)
    return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


def test_the_file_is_what_kuberay_takes(validator: Draft202012Validator, tmp_path: Path) -> None:
    assert errors(validator, FILE.read_text(), tmp_path) == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        ("entrypoint:", "entryPoint:", "spec: .*'entryPoint' was unexpected"),
        (
            "ttlSecondsAfterFinished: 300",
            "ttlSecondsAfterFinished: 5m",
            "ttlSeconds.*: '5m' is not of type 'int",
        ),
        ("rayStartParams: {}", "", "'rayStartParams' is a required property"),
        ('num-cpus: "0"', "num-cpus: 0", "rayStartParams.num-cpus: 0 is not of type 'string'"),
        ("mountPath: /runs", "mountpath: /runs", "'mountpath' was unexpected"),
        ("mountPath: /runs", "mountPath: 3", "volumeMounts.0.mountPath: 3 is not of type 'string'"),
        ("claimName: tune", "claim: tune", "persistentVolumeClaim: .*'claim' was unexpected"),
        ("memory: 8Gi", "memory: 8GiB", "memory: '8GiB' does not match"),
        ("serviceType: ClusterIP", "serviceType: ClusterIp", "serviceType: 'ClusterIp' is not one of"),
        ("containers:", "container:", "template.spec: .*'container' was unexpected"),
        ('value: "0"', "value: 0", "env.0.value: 0 is not of type 'string'"),
        ("v1\n", "v1alpha1\n", "apiVersion: 'ray.io/v1' was expected"),
    ],
)
def test_a_mistake_is_found(
    validator: Draft202012Validator, tmp_path: Path, pattern: str, replacement: str, expected: str
) -> None:
    text = FILE.read_text()
    assert pattern in text
    found = errors(validator, text.replace(pattern, replacement), tmp_path)
    assert [line for line in found if re.search(expected, line)], found
