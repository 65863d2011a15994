"""Named and anonymous volumes: directories of the Docker area that outlive containers.

What a volume is lies in its own directory, data and description, so it is whole or not there by
one rename and survives the loss of everything else. Who uses it is said by the containers' rows:
in use and removal are decided in one transaction.
"""
