"""The page for people: server-rendered, usable without a script, a mouse or a wide screen."""
