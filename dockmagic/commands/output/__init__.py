"""What a command returns and how it is laid out as text: results, tables, trees, archives."""
