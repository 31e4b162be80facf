"""The probe in the place of the auth client and of the key signer.

They may not fork, and the supervisor starts one that died anew after a while that
doubles each time.  So there are several gatehouses side by side, each of which makes a
few attempts and is then started afresh.
"""

import concurrent.futures
import contextlib
import queue
import threading

import escape
import filters

STAGES = 8              # they mostly wait
DEATHS = 4              # 100, 200, 400 ms of waiting
NAMES = {"auth": "gatehouse-auth", "keys": "gatehouse-keys"}


class Helper:
    """A stage with the probe in a helper's place, started anew when it has to wait long."""

    def __init__(self, config, program):
        self.program, self.deaths, self.mark = program, 0, 0
        self.stage = escape.Stage(config, ("gatehouse-login", program), settings="ssl = no")

    def close(self):
        self.stage.close()

    def attempt(self, order):
        gh = self.stage.gh
        if self.deaths >= DEATHS:
            gh.stop(check=False)
            self.deaths = 0
        if gh.popen is None:
            gh.start()
        elif self.deaths:
            gh.wait_log(rf"{self.program} \(pid \d+\): ", escape.LIMIT, self.mark)
        if self.program == NAMES["auth"]:       # a client that it can do things to
            parked = self.stage.connect("park auth-client")
            if b"parked" not in parked.recv(200):
                raise AssertionError("no client for the auth client:\n" + gh.text(self.mark))
        else:
            parked = contextlib.nullcontext()
        self.mark = gh.mark()
        self.deaths += 1
        with parked:
            return self.stage.attempt(order)


def run(config, phase, table, judge_one):
    """judge_one(row, result, filters, lacks) for each row, in the table's order."""
    local, made, out = threading.local(), queue.SimpleQueue(), {}
    program = NAMES["auth" if phase.startswith("auth") else "keys"]

    def one(row):
        if not hasattr(local, "helper"):
            local.helper = Helper(config, program)
            made.put(local.helper)
        return local.helper.attempt(f"{row['id']} {phase}")

    try:
        with concurrent.futures.ThreadPoolExecutor(STAGES) as pool:
            out = {row["id"]: pool.submit(one, row) for row in table}
        first = made.get()
        text = filters.Filters(escape.GATEHOUSE, f"{first.stage.dir}/policy")
        lacks = first.stage.lacks()
        made.put(first)
        for row in table:
            judge_one(row, out[row["id"]].result(), text, lacks)
    finally:
        while not made.empty():
            made.get().close()
