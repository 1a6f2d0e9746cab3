"""What a reference would need here: its header read, the planner asked, llama.cpp asked, measurements taken in."""
