"""What drives the stages: surveys of what exists, runners, Prefect, schedules, forecasts and summaries."""
