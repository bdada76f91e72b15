"""The process that decides what to propose: market data in, the strategy's kernel, intents out to the gate. It holds no key and knows no signer."""
