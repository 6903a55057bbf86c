"""A worker in plain Python: take a job, beat while it runs, report. python3 worker.py http://127.0.0.1:8080"""
import http.client, json, random, sys, threading, time, urllib.request, uuid

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
HELLO = {"instance": str(uuid.uuid4()), "types": [{"message_type": "reverse"}], "window": 1, "held": []}


def reverse(job, progress):
    text = job.get("message_data")
    if not isinstance(text, str) or len(text) > 1000:
        raise ValueError("at most 1,000 characters")  # clients read this
    for done in range(10):
        progress(fraction=done / 10, note=f"{done} of 10")
        time.sleep(0.02)  # hard work
    return text[::-1]


def post(path, body, **headers):
    """Tries until the server answers, after random times: a result must not be lost."""
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    wait = 0.25
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:  # none, or an odd one
            refused = 400 <= getattr(error, "code", 500) < 500 and error.code not in (408, 429)
            print(f"{path}: {error.read().decode() if refused else repr(error)}", file=sys.stderr)  # says what to change
            if refused:
                return {"refused": error.code}
        time.sleep(random.uniform(0, wait := min(2 * wait, 30)))


def work(job, beat_seconds):
    path, lease, over = f"/v1/work/{job['id']}", {"lease": job["lease"]}, threading.Event()
    def beat(**said):
        if {"stop", "refused"} & post(path + "/beat", lease | said).keys():
            over.set()  # it was cancelled, took too long, or is another worker's
        if said and over.is_set():
            raise InterruptedError("stopped")
    def keep_beating():
        while not over.wait(beat_seconds):
            beat()
    threading.Thread(target=keep_beating, daemon=True).start()
    try:
        end, outcome = "/done", {"data": reverse(job, beat)}
    except ValueError as error:
        end, outcome = "/fail", {"code": "invalid_data", "message": str(error), "kind": "permanent"}
    except Exception as error:  # its text is not for clients
        print(f"{job['id']}: {error!r}", file=sys.stderr)
        end, outcome = "/fail", {"code": "handler_failed", "message": "handler failed"}
    over.set()
    if post(path + end, lease | outcome).get("refused") == 413:
        post(path + "/fail", lease | {"code": "result_too_large", "message": "the result is too large", "kind": "permanent"})


while "refused" not in (taken := post("/v1/work/take", HELLO, Prefer="wait=20")):
    for job in taken["jobs"]:
        work(job, taken["beat_ms"] / 1000)
sys.exit("the server does not take this worker")
