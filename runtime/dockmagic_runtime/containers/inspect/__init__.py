"""The verbs that read containers: inspect, logs, stats, top, system df, info."""
