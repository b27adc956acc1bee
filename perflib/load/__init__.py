"""The load generator: what is sent when (mix), as bytes (wire), judged (answer), by whom (worker), where (engine)."""
