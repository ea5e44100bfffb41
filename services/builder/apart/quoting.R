# This file is JSON as our programs in R write it, which have no package to do it for them.

quoted <- function(text) {
  text <- gsub('(["\\\\])', "\\\\\\1", iconv(text, "UTF-8", "UTF-8", sub = "byte"))
  paste0('"', gsub("[[:cntrl:]]+", " ", text), '"')
}

# An array, or an object where the texts have names, of what is JSON already.
joined <- function(json, names = NULL) {
  if (is.null(names)) return(paste0("[", paste(json, collapse = ","), "]"))
  paste0("{", paste0(quoted(names), ":", json, recycle0 = TRUE, collapse = ","), "}")
}
