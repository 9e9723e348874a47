"""Programs that stand for the outside world and speak its real protocols."""
