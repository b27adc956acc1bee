"""What a reader sees in a notebook or a page: charts, the live panel, the report."""
