"""The front door over HTTP: the API for programs. One ASGI application over the services."""
