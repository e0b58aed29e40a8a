"""Prometheus metrics: what passes did, what waits, what the API server answered. Told by callbacks; it decides nothing and asks nobody.

Label values are bounded: reasons are words of closed lists, namespaces are those of Commits, models are cut off at a number.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .cluster.ports import Key
from .control.happened import StageEnd, spent, turns
from .control.queue import WorkQueue
from .control.reconciler import Pass
from .control.roster import Roster
from .core.observed import job_views
from .core.policies import troubles
from .core.settings import RELEASE
from .core.statuses import condition_status

STAGE_SECONDS = (5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
PASS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LAG_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)
SPEEDUPS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10, 100)
MAX_MODELS = 50


class _Census(Collector):
    """Commits and Datasets by their Succeeded condition, counted when somebody asks."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        found = Tally((one.key.kind, one.key.namespace, *one.succeeded) for one in self._roster.known())
        for kind, name in (("Commit", "isobench_commits"), ("Dataset", "isobench_datasets")):
            gauge = GaugeMetricFamily(
                name, f"{kind}s by their Succeeded condition.", labels=["namespace", "status", "reason"]
            )
            for (of, *labels), count in sorted(found.items()):
                if of == kind:
                    gauge.add_metric(labels, count)
            yield gauge


class Metrics:
    """All metrics of an operator, in a registry of their own.

    Args:
        queue: whose depth is told.
        roster: the custom resources that were heard of.
        registry: where the metrics are registered.
    """

    def __init__(
        self,
        *,
        queue: WorkQueue[Key],
        roster: Roster,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._models: set[str] = set()
        self._waiting: dict[Key, Tally[str]] = {}
        self._retries = self._counter("isobench_queue_retries_total", "Passes that failed and were asked for again.")
        self._errors = self._counter("isobench_reconcile_errors_total", "Passes that failed.", "kind")
        self._passes = self._histogram("isobench_reconcile_duration_seconds", "How long a pass took.", PASS_SECONDS, "kind")  # fmt: skip
        self._stage = self._histogram("isobench_stage_duration_seconds", "From a Job's start to its end.", STAGE_SECONDS, "stage", "outcome")  # fmt: skip
        self._attempts = self._counter("isobench_stage_attempts_total", "Jobs that ended, by what they came to.", "stage", "reason")  # fmt: skip
        self._verdicts = self._counter("isobench_verdicts_total", "Commits that ended with a verdict.", "verdict")
        self._speedup = self._histogram("isobench_speedup_ratio", "Speedups of Commits that succeeded.", SPEEDUPS)
        self._lag = self._histogram("isobench_job_end_lag_seconds", "From a Job's end to the status that tells of it; the end is known to the second.", LAG_SECONDS)  # fmt: skip
        self._requests = self._counter("isobench_api_requests_total", "Requests to the API server; code 0 where no answer came.", "verb", "resource", "code")  # fmt: skip
        self._tokens = self._counter("isobench_llm_tokens_total", "Tokens of language models.", "model", "type")
        self._usd = self._counter("isobench_llm_cost_usd_total", "What language models cost, in US dollars.", "model")
        self._gpu = self._counter("isobench_gpu_seconds_total", "Seconds that measuring containers held GPUs.")
        self._pods = Gauge("isobench_waiting_pods", "Jobs and pods that do not come to run, by why.", ["reason"], registry=self.registry)  # fmt: skip
        info = Gauge("isobench_build_info", "The version of this operator.", ["version"], registry=self.registry)
        info.labels(RELEASE).set(1)
        depth = Gauge("isobench_queue_depth", "Keys that wait, those due later included.", registry=self.registry)
        depth.set_function(lambda: len(queue))
        working = Gauge("isobench_queue_working", "Keys that are being worked on.", registry=self.registry)
        working.set_function(lambda: queue.working)
        self.registry.register(_Census(roster))
        ProcessCollector(registry=self.registry)  # memory, CPU and the time of the start

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def request(self, *, verb: str, resource: str, code: int) -> None:
        """Count a request to the API server."""
        self._requests.labels(verb, resource, str(code)).inc()

    def failed(self, key: Key, error: Exception) -> None:  # noqa: ARG002 - the error is the log's
        """Count a pass that failed."""
        self._errors.labels(key.kind).inc()
        self._retries.inc()

    def passed(self, done: Pass, ends: Sequence[StageEnd]) -> None:
        """Count what a pass did, and the stages whose end it took in."""
        self._passes.labels(done.key.kind).observe(done.seconds)
        self._count_waiting(done)
        for end in ends:
            self._count_stage(end, done)
        self._count_spent(done)
        if done.key.kind == "Commit" and any(turn.type == "Finished" and turn.status == "True" for turn in turns(done)):
            self._count_end(done)

    def _count_stage(self, end: StageEnd, done: Pass) -> None:
        self._attempts.labels(end.stage, end.reason or "Succeeded").inc()
        if end.seconds is not None:
            self._stage.labels(end.stage, "succeeded" if end.reason is None else "failed").observe(end.seconds)
        if end.at is not None:
            self._lag.observe(max(0.0, (done.ended_at - end.at).total_seconds()))

    def _count_end(self, done: Pass) -> None:
        status = done.plan.status or {}
        result = status.get("result") or {}
        if result.get("verdict"):
            self._verdicts.labels(str(result["verdict"])).inc()
        if result.get("speedup") and condition_status(status, "Succeeded") == "True":
            self._speedup.observe(float(result["speedup"]))

    def _count_spent(self, done: Pass) -> None:
        usage = spent(done)
        self._gpu.inc(float(usage.gpu_seconds))
        if not (usage.prompt_tokens or usage.completion_tokens or usage.usd):
            return
        model = self._model(str(((done.plan.status or {}).get("test") or {}).get("model") or "unknown"))
        self._tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._tokens.labels(model, "completion").inc(usage.completion_tokens)
        self._usd.labels(model).inc(float(usage.usd))

    def _model(self, name: str) -> str:
        if name not in self._models and len(self._models) >= MAX_MODELS:
            return "other"
        self._models.add(name)
        return name

    def _count_waiting(self, done: Pass) -> None:
        found = Tally(waiting_reasons(done))
        before = self._waiting.pop(done.key, Tally())
        if found:
            self._waiting[done.key] = found
        for reason in before.keys() | found.keys():
            self._pods.labels(reason).inc(found[reason] - before[reason])


def waiting_reasons(done: Pass) -> list[str]:
    """Why what should run in a pass does not, a word of `core.policies.troubles` for each Job; what Kueue holds is not asked to run yet."""
    if done.observed is None or done.plan.finished:
        return []
    held = [troubles.held(words) for words in done.observed.held.values()]
    jobs = [troubles.find(job, done.observed.events) for job in job_views(done.observed.jobs, done.observed.pods)]
    return [found.word for found in (*held, *jobs) if found is not None and found.word != "Queued"]
