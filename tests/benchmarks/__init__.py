"""The benchmark of asgi-arbiter against the servers it wants to replace. ``README.md`` beside this file is the manual."""
