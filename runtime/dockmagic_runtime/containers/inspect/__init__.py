"""What is known of containers: inspect, logs, stats, top, sizes."""
