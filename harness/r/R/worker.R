# This file is the process that runs the user's code: it sources the script, answers the example, then one call at a time.
#
# It reads calls from one pipe and writes answers to another, both made by the front, which is its parent. A call is the
# length of its body (4 bytes), its request id (16) and the body; an answer one line: `kind began took_ms text`, the
# text being JSON. The end of the first pipe is the end of this process.

local({
  compiler::enableJIT(0)
  words <- commandArgs(trailingOnly = TRUE)
  names(words) <- c("harness", "settings", "calls", "answers", "number")
  # The packages of the function's own environment, where it has some. The front never sees them.
  own <- file.path(dirname(words[["harness"]]), "library")
  if (dir.exists(own)) {
    .libPaths(c(own, .libPaths()))
    Sys.setenv(R_LIBS = own) # for an R that the function starts
  }
  harness <- new.env(parent = baseenv()) # out of sight of the user's code, and of its `rm(list = ls())`
  files <- c(
    "log", "wording", "decoding", "binding", "encoding", "trees", "traces", "loader", "calls", "comments", "openapi",
    "work"
  )
  for (file in files) sys.source(file.path(words[["harness"]], paste0(file, ".R")), harness)
  harness$work(words)
})
