"""Holds an image's configuration (argv[1], as `docker inspect` tells it) to what deploy/README.md promises. Prints what
it runs: a line for its environment, and one for the command."""

import json
import pathlib
import shlex
import sys

config = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
version = sys.argv[2]
labels = {name: value for name, value in config["Labels"].items() if name.startswith("org.opencontainers.")}
wrong = []


def expect(what, found, wanted):
    if found != wanted:
        wrong.append(f"{what}: {found}, not {wanted}")


expect("user", config["User"], "10001:10001")
expect("entry point", config["Entrypoint"], ["barista-server"])
expect("command", config["Cmd"], ["--model=/model"])
expect("ports", sorted(config["ExposedPorts"]), ["8470/tcp", "8471/tcp", "8472/tcp"])
expect("health check", config.get("Healthcheck"), None)
expect("version", labels.get("org.opencontainers.image.version"), version)
expect("licence", labels.get("org.opencontainers.image.licenses"), "Apache-2.0")
expect("labels", sorted(name.rsplit(".", 1)[1] for name in labels), ["description", "licenses", "title", "version"])
for line in wrong:
    print(line, file=sys.stderr)
print(shlex.join(config["Env"]))
print(shlex.join(config["Entrypoint"] + config["Cmd"]))
sys.exit(1 if wrong else 0)
