"""Benchmarks: this package's engine against the libraries one would otherwise use, on the same work.

settings   the options of the command line
work       the questions, news and prompts that all sides compute (subjects.yaml holds their words)
jobs/      one side of a comparison each, timed, in its own process
parts/     a comparison each: its sides, what is equal, its table
runner     runs the sides in turns and collects their reports
report     the tables and the JSON file
passages/  another measurement: one learner on the training texts of several writers
"""
