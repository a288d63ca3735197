"""What the pruning methods reach on CIFAR-10; one command per result.

``python -m benchmarks.pruning NAME --data cifar10.npz --weights FOLDER`` measures one and writes
its result file; interrupted runs go on where they were. ``python -m benchmarks.pruning.table``
writes the tables of the documentation from the files.
"""
