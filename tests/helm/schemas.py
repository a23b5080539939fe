#!/usr/bin/env python3
"""JSON schemas of Kubernetes' kinds for kubeconform, strict: a field that the API does not know is refused.

schemas.py OUT SWAGGER_JSON CRD_DIR...   writes OUT/KIND-GROUP-VERSION.json, one a kind and version

The built-in kinds come from Kubernetes' own OpenAPI document, custom resources from the CustomResourceDefinitions of
their projects, and both are turned into JSON Schema the same way.
"""

import json
import pathlib
import sys

import yaml

INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
QUANTITY = {"oneOf": [{"type": "string"}, {"type": "number"}]}  # the API takes 2 for "2"
REF = "#/definitions/"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LOADER.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)  # a plain "=", which YAML 1.1 had plans for


def strict(schema, top=False):
    """The schema with unknown fields refused, without what JSON Schema does not know."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    out = {}
    for key, value in schema.items():
        if key in {"properties", "definitions"}:
            out[key] = {name: strict(inner) for name, inner in value.items()}
        elif key in {"items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"}:
            out[key] = strict(value)
        elif key not in {"description", "format", "default", "nullable"} and not key.startswith("x-kubernetes-"):
            out[key] = value
    if "properties" in out and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    if top:  # of custom resources, whose schemas leave these to the API server
        for name in ("apiVersion", "kind", "metadata"):
            out["properties"].setdefault(name, {})
    return out


def reachable(name, definitions):
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = definitions[name]
        waiting += [ref[len(REF):] for ref in refs(definitions[name])]
    return found


def refs(schema):
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from refs(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from refs(item)


def built_in(swagger):
    definitions = {name: strict(schema) for name, schema in swagger["definitions"].items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = QUANTITY
    for name, schema in swagger["definitions"].items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1 and {"apiVersion", "kind", "metadata"} <= schema.get("properties", {}).keys():
            kind = kinds[0]
            yield kind["group"], kind["version"], kind["kind"], {"$ref": REF + name, "definitions": reachable(name, definitions)}


def custom(folder):
    for path in sorted(pathlib.Path(folder).glob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=LOADER):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                yield spec["group"], version["name"], spec["names"]["kind"], strict(version["schema"]["openAPIV3Schema"], top=True)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    sources = [built_in(json.loads(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")))]
    sources += [custom(folder) for folder in sys.argv[3:]]
    for source in sources:
        count = 0
        for group, version, kind, schema in source:
            # kubeconform looks for the group's first word only, as its own collection of schemas has it
            name = "-".join(part for part in (kind, group.split(".")[0], version) if part).lower()
            (out / f"{name}.json").write_text(json.dumps(schema, separators=(",", ":")), encoding="utf-8")
            count += 1
        if not count:
            sys.exit("a source has no kinds")
        print(f"{count} kinds")


if __name__ == "__main__":
    main()
