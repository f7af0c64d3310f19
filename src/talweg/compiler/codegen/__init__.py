"""From a scheduled program to LLVM IR."""
