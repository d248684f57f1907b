"""The peers: other stream processors that do the decider's work, each as its own users would write it."""
