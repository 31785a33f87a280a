"""What .ci/deploy asks of the files in deploy/ that no schema knows."""

import pathlib
import re
import shutil
import subprocess
import sys

import yaml

DEPLOY = pathlib.Path("deploy")


def compose(target):
    """Writes compose.yaml as it is with every variable set, and checks that the files that it mounts are there."""
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    told = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(), re.M))
    assert asked == told, f"compose.yaml asks for {asked}, compose.env.example tells {told}"
    text = re.sub(r"\$\{(\w+)[^}]*\}", "value", text)
    # The copy stands elsewhere.
    for source in re.findall(r"- (\./[^:]+):", text):
        assert (DEPLOY / source).exists(), f"compose.yaml mounts {source}"
    pathlib.Path(target).write_text(text)


def context(target):
    """Copies what .dockerignore leaves."""
    lines = [line for line in pathlib.Path(".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*" and all(line.startswith("!") for line in lines[1:]), "all but what is named"
    for name in (line[1:] for line in lines[1:]):
        source, copy = pathlib.Path(name), pathlib.Path(target) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("gen", "node_modules"))
        else:
            shutil.copy2(source, copy)


def names(program):
    """Every setting that a file of deploy/ names is one of the program's; objects that name each other are there."""
    helps = [subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout
             for command in ("serve", "migrate", "healthcheck")]
    known = set(re.findall(r"\[env: (\w+)=", " ".join(helps)))
    files = [file for file in DEPLOY.rglob("*") if file.is_file() and "gen" not in file.parts and "grpc-gateway" not in file.parts]
    for file in files:
        for name in re.findall(r"\bDESKLEDGER_[A-Z][A-Z_]*\b", file.read_text(errors="replace")):
            assert name in known or name.startswith("DESKLEDGER_GATEWAY"), f"{file}: {name} is no setting"

    folder = DEPLOY / "kubernetes"
    objects = [item for file in folder.glob("*.yaml") for item in yaml.safe_load_all(file.read_text())]
    kustomization = next(item for item in objects if item["kind"] == "Kustomization")
    listed = set(kustomization["resources"])
    there = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert listed == there, f"kustomization.yaml lists {listed}, there are {there}"
    by_name = {(item["kind"], item["metadata"]["name"]): item for item in objects if "metadata" in item}
    workloads = [item for item in objects if item["kind"] in ("Deployment", "StatefulSet", "Job")]
    assert len(workloads) == 3, "service, signer and migration"
    for workload in workloads:
        template = workload["spec"]["template"]
        labels = template["metadata"]["labels"].items()
        if "selector" in workload["spec"]:
            assert workload["spec"]["selector"]["matchLabels"].items() <= labels, workload["metadata"]["name"]
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in by_name
        for container in template["spec"]["containers"]:
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in by_name
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    assert reference["key"] in by_name["Secret", reference["name"]]["stringData"], reference
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            settings = by_name["ConfigMap", "deskledger"]["data"]
            for name, setting in (("grpc", "DESKLEDGER_LISTEN"), ("admin", "DESKLEDGER_ADMIN_LISTEN")):
                assert ports.get(name) in (None, int(settings[setting].rsplit(":", 1)[1])), name
    pods = dict(by_name["Deployment", "deskledger"]["spec"]["template"]["metadata"]["labels"])
    for kind, path in (("Service", ["selector"]), ("PodDisruptionBudget", ["selector", "matchLabels"]),
                       ("NetworkPolicy", ["podSelector", "matchLabels"])):
        selector = by_name[kind, "deskledger"]["spec"]
        for step in path:
            selector = selector[step]
        assert selector.items() <= pods.items(), f"{kind} selects the pods"


if __name__ == "__main__":
    {"compose": compose, "context": context, "names": names}[sys.argv[1]](sys.argv[2])
