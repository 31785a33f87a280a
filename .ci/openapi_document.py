"""Checks docs/openapi.json by itself: it is a good OpenAPI document, and every example in it is what its schema says."""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

with open("docs/openapi.json", encoding="utf-8") as file:
    document = json.load(file)


def examples(node, path=""):
    """Every schema with an example of it: in media types, parameters, and schemas themselves."""
    if isinstance(node, list):
        for at, item in enumerate(node):
            yield from examples(item, f"{path}/{at}")
        return
    if not isinstance(node, dict):
        return
    if "schema" in node:
        if "example" in node:
            yield path, node["schema"], node["example"]
        for name, example in node.get("examples", {}).items():
            yield f"{path}/{name}", node["schema"], example["value"]
    elif isinstance(node.get("examples"), list):
        for at, example in enumerate(node["examples"]):
            yield f"{path}/examples/{at}", node, example
    for key, value in node.items():
        if key not in ("example", "examples"):
            yield from examples(value, f"{path}/{key}")


validate(document)
wrong = checked = 0
for path, schema, example in examples(document):
    checked += 1
    whole = {**schema, "components": document["components"]}
    for error in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(example):
        print(f"{path}: {error.json_path}: {error.message}", file=sys.stderr)
        wrong += 1
print(f"{checked} examples checked")
sys.exit(1 if wrong or not checked else 0)
