"""Read models: one module per question, plain values as answers. Shared by every face of Headgate."""
