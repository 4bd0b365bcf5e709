"""The Python SDK: ask an exchange over HTTP, get Arrow back."""
