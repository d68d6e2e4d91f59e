"""The router: one public address for all tenants. Webhook → signature → split → place → deliver → answer."""
