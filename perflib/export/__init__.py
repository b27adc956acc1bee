"""What a run tells other systems while it goes on, and at its end."""
