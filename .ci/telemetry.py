"""Has a real Prometheus scrape the service whose metrics are at the address given, and asks it everything that the alerts and the dashboard
ask: each question must be understood, and each metric and label in it must be there."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ADMIN, SCRATCH = sys.argv[1], pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).resolve().parent.parent
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/deskledger.json"
# What Prometheus itself adds to what it scrapes.
OWN_METRICS, OWN_LABELS = {"up"}, {"job", "instance", "le"}
OPERATORS = {"and", "or", "unless", "bool", "offset"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start():
    """Starts Prometheus on a free port; answers its process and its address."""
    config = SCRATCH / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{ALERTS}]\n"
        f"scrape_configs: [{{job_name: deskledger, static_configs: [{{targets: ['{ADMIN}']}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={SCRATCH / 'series'}", f"--web.listen-address={address}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(SCRATCH / "prometheus.log").open("w")), address


def ask(address, path, **parameters):
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise SystemExit(f"{parameters}: {refused.read().decode()}") from refused


def wait_for_scrapes(address, count):
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=10).close()
            found = ask(address, "query", query="count_over_time(deskledger_ready[5m])")["result"]
            if found and int(found[0]["value"][1]) >= count:
                return
        except (urllib.error.URLError, ConnectionError):
            pass  # It is starting.
        time.sleep(0.1)
    raise SystemExit((SCRATCH / "prometheus.log").read_text())


def questions():
    """Everything that is asked, and where."""
    # The rules' expressions come from Prometheus, which has read the file; the dashboard's with Grafana's variables filled in.
    dashboard = json.loads(DASHBOARD.read_text())
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities)), "panels with the same id"
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']!r}", re.fullmatch(r"label_values\((\w+), \w+\)", variable["definition"])[1]


def names(expression):
    """The metrics of an expression, each with the labels that are asked of it."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]", "", bare)
    # A word before a parenthesis is a function; braces go with the metric before them.
    for word in re.finditer(r"\b([a-z_]\w*)\b\s*(\(|\{[^}]*\})?", bare):
        name, after = word[1], word[2] or ""
        if after != "(" and name not in OPERATORS:
            yield name, set(re.findall(r"(\w+)\s*[=!]", after))


def main():
    process, address = start()
    try:
        wait_for_scrapes(address, 4)
        known = set(ask(address, "label/__name__/values"))
        rules = [(f"alert {rule['name']}", rule["query"]) for group in ask(address, "rules")["groups"] for rule in group["rules"]]
        assert len(rules) >= 10, "the rules are read"
        asked = rules + list(questions())
        assert len(asked) > 40, "the panels are read"
        for where, expression in asked:
            ask(address, "query", query=expression)
            found = list(names(expression))
            assert found, f"{where} asks of no metric: {expression}"
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby\s*\(([^)]*)\)", expression))))
            have = set()
            for metric, labels in found:
                if metric not in known | OWN_METRICS:
                    raise SystemExit(f"{where} asks of {metric}, which the service does not have")
                series = ask(address, "series", **{"match[]": metric})
                has = {label for one in series for label in one} | OWN_LABELS
                have |= has
                if labels - has:
                    raise SystemExit(f"{where} asks of {metric} by {labels - has}, which it does not have")
            if grouped - have:
                raise SystemExit(f"{where} groups by {grouped - have}, which its metrics do not have")
        down = [target for target in ask(address, "targets")["activeTargets"] if target["health"] != "up"]
        assert not down, down
        print(f"{len(asked)} questions of {len(rules)} alerts and the dashboard are understood, and of metrics that are there")
    finally:
        process.terminate()
        process.wait(10)


main()
