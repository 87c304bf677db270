"""Benchmarks: this package's engine against the libraries one would otherwise use, on the same work.

settings   what can be chosen on the command line
work       the questions, news and prompts that everybody computes (subjects.yaml holds their words)
jobs/      what runs in a process of its own: one side of a comparison, timed
parts/     a comparison each: who takes part, what is equal, what the table says
runner     starts the processes, sides alternating, and collects what they report
report     the tables and the JSON file
"""
