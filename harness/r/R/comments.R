# This file is what the comment above a function tells: its first paragraph, all of it, and a sentence for each argument.
#
# Lines of roxygen (`#'`) are read by its manner, `@param` and all; where there are none, plain `#` lines are the text.

ROXYGEN <- "^[ \t]*#' ?"
TOLD_OF <- c("title", "description", "details") # tags whose text is about the function as a whole

# What people wrote right above where `fun` is made, as a list of `summary`, `text` and `parameters`.
comment_of <- function(fun) {
  lines <- tryCatch(lines_above(fun), error = function(e) character()) # its file may be gone
  is_roxygen <- grepl(ROXYGEN, lines)
  if (any(is_roxygen)) return(roxygen(sub(ROXYGEN, "", lines[is_roxygen])))
  lines <- sub("^[ \t]*#+ ?", "", lines)
  prose(lines[!grepl("^[-=#*~ ]{3,}$", lines)], list())
}

lines_above <- function(fun) {
  reference <- attr(fun, "srcref")
  if (is.null(reference)) return(character())
  lines <- getSrcLines(attr(reference, "srcfile"), 1L, reference[[1L]])
  lines <- as_utf8(lines[-length(lines)])
  while (length(lines) && grepl("(<-|=)[ \t]*$", lines[[length(lines)]])) lines <- lines[-length(lines)]
  is_comment <- grepl("^[ \t]*#", lines)
  lines[seq_along(lines) > max(0L, which(!is_comment))]
}

roxygen <- function(lines) {
  starts <- cumsum(grepl("^@[A-Za-z]", lines))
  blocks <- split(lines, starts)
  text <- unname(unlist(blocks[names(blocks) == "0"]))
  parameters <- list()
  for (block in blocks[names(blocks) != "0"]) {
    tag <- sub("^@([A-Za-z]+).*", "\\1", block[[1L]])
    block[[1L]] <- sub("^@[A-Za-z]+[ \t]*", "", block[[1L]])
    if (tag %in% TOLD_OF) text <- c(text, if (length(text)) "", block)
    if (tag != "param") next
    told <- one_line(paste(block, collapse = " "))
    for (name in strsplit(sub(" .*", "", told), ",", fixed = TRUE)[[1L]]) {
      if (grepl(" ", told, fixed = TRUE)) parameters[[name]] <- gsub("@@", "@", sub("^[^ ]+ ", "", told), fixed = TRUE)
    }
  }
  prose(gsub("@@", "@", text, fixed = TRUE), parameters)
}

prose <- function(lines, parameters) {
  text <- trimws(paste(lines, collapse = "\n"))
  list(summary = one_line(sub("\n[ \t]*\n.*", "", text)), text = text, parameters = parameters)
}
