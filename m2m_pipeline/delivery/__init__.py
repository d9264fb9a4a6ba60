"""How notices leave, and digests: each module fills a port of the domain for one kind of destination."""
