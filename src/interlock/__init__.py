"""interlock: a trading engine for arbitrage and market making, replay first."""
