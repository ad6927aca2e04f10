"""Loads a user's project: headgate.toml, its Python modules, the files it reads. Plans nothing, runs nothing."""
