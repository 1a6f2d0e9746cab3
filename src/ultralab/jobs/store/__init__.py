"""What is on the disk: the queue's database, the jobs' folders, and how each is mended from the other."""
