-- One line for the bench: requests, microseconds, errors of each kind, latency in microseconds.
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("@@ %d %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
