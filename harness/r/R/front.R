# This file is the process that answers HTTP and never runs the user's code: `Rscript front.R --work DIR --tie COMMAND
# --instance ID --config FILE`, started by `serve`.

local({
  options(warn = 1)
  Sys.unsetenv("R_DEFAULT_PACKAGES") # the front needs none of them, and the worker all: it is not handed down
  compiler::enableJIT(0) # see README, "Speed"
  words <- commandArgs(trailingOnly = TRUE)
  given <- function(name) {
    at <- match(paste0("--", name), words)
    if (is.na(at) || at == length(words)) "" else words[[at + 1L]]
  }
  script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[[1L]])
  here <- dirname(normalizePath(script))
  harness <- new.env(parent = baseenv())
  files <- c(
    "log", "wording", "decoding", "encoding", "trees", "exits", "config", "body", "child", "endpoint", "supervision", "loop"
  )
  for (file in files) sys.source(file.path(here, paste0(file, ".R")), harness)
  for (package in c("plumber", "httpuv", "later", "promises", "processx", "jsonlite")) {
    if (!nzchar(system.file(package = package))) {
      cat("the R package", package, "is not installed\n", file = stderr())
      quit("no", status = 2L)
    }
  }
  instance <- tryCatch(harness$read_config(given("config"), given("instance")), invalid_config = function(problem) {
    cat(conditionMessage(problem), "\n", sep = "", file = stderr())
    quit("no", status = 2L)
  })
  tie <- strsplit(given("tie"), " ", fixed = TRUE)[[1L]]
  place <- list(here = here, work = given("work"), tie = tie, settings_file = given("config"))
  status <- harness$serve(instance, place)
  quit("no", status = status, runLast = FALSE)
})
