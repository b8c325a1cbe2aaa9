"""Images from Dockerfiles, built here: without docker, without root, without a network."""
