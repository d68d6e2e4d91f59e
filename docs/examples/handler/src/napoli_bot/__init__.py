"""The bot of Pizzería Napoli."""
