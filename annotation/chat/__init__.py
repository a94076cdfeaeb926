"""One client for chat models: a call on the wire or in process, patient with faults, every reply kept."""
