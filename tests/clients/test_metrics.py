"""/metrics after a load: what Prometheus will make of it."""

from showcase import until


def test_the_counters_move_with_the_load(scrape, showcase, client, stub):
    _, before = scrape()
    for n in range(50):
        operation = showcase.start("Echo", {"n": n})
        client.get_operation(operation.name)
    _, after = scrape()

    def moved(prefix: str) -> float:
        return sum(
            value - before.get(name, 0) for name, value in after.items() if name.startswith(prefix)
        )

    assert moved('opgate_requests_total{protocol="grpc"') >= 100
    assert moved('opgate_request_duration_seconds_count{protocol="grpc"') >= 100
    assert moved("opgate_operations_accepted_total") >= 50
    assert moved('opgate_operations_finished_total{protocol="grpc",backend="showcase",outcome="succeeded"}') >= 50
    assert moved("opgate_journal_append_bytes_total") > 0
    assert after["opgate_journal_writable"] == 1
    assert after["opgate_ready"] == 1


def test_open_operations_are_counted_and_counted_off(scrape, client, held):
    def open_operations() -> float:
        _, samples = scrape()
        return sum(
            samples[f'opgate_operations{{state="{state}"}}'] for state in ("accepted", "running")
        )

    during = until(open_operations, lambda count: count >= 1)
    client.cancel_operation(held.name)
    until(open_operations, lambda count: count <= during - 1)


def test_no_quantiles_are_computed_here(scrape):
    text, samples = scrape()
    kinds = {line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert kinds == {"counter", "gauge", "histogram"}
    assert not any("quantile=" in name for name in samples)


def test_no_series_carries_a_name_a_caller_chose(scrape, showcase, parent):
    name = showcase.start("Echo", parent=parent).name
    text, _ = scrape()
    assert parent not in text
    assert name.rsplit("/", 1)[1] not in text
