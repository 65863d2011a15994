"""Named and anonymous volumes: directories of the data root that outlive containers.

A volume's data and description are in one directory, so one rename creates or removes it, and it
survives the loss of the database. Which containers use it is recorded in their rows: the check for
users and the removal happen in one transaction.
"""
