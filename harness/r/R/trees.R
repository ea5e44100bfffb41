# This file is how lists within lists become JSON text quickly: level by level instead of element by element.
#
# What a level holds that is neither a list nor one plain value (a data frame, a longer vector, a date) is left to
# `encoded`, which also knows the place of each element, and so what to say of one that JSON cannot hold.

is_tree <- function(value) typeof(value) == "list" && !is.object(value)

# `root`, a tree, as JSON text. Signals `not_json`, which need not name the right place.
tree_text <- function(root) {
  levels <- list()
  nodes <- list(root)
  while (length(nodes)) {
    level <- looked_over(nodes)
    levels <- c(levels, list(level))
    nodes <- unlist(nodes[level$lists], recursive = FALSE, use.names = FALSE)
  }
  texts <- character()
  for (level in rev(levels)) {
    level$texts[level$lists] <- joined(level, texts)
    texts <- level$texts
  }
  texts
}

# Of each node its text, and of those that are lists where they are, how long, and their elements' names.
looked_over <- function(nodes) {
  texts <- character(length(nodes))
  kinds <- vapply(nodes, typeof, "")
  is_plain <- !vapply(nodes, is.object, NA)
  texts[kinds == "NULL"] <- "null"
  lists <- which(is_plain & kinds == "list")
  may_be_one <- which(is_plain & kinds %in% c("logical", "integer", "double", "character"))
  is_one <- lengths(nodes[may_be_one]) == 1L & lengths(lapply(nodes[may_be_one], dim)) < 2L
  for (kind in unique(kinds[may_be_one])) {
    at <- may_be_one[is_one & kinds[may_be_one] == kind]
    if (length(at)) texts[at] <- scalars(unlist(nodes[at], use.names = FALSE), "result")
  }
  for (at in setdiff(which(!nzchar(texts)), lists)) texts[[at]] <- encoded(nodes[[at]], "result")
  list(texts = texts, lists = lists, sizes = lengths(nodes[lists]), names = lapply(nodes[lists], names))
}

# The texts of a level's lists, made of those of all their elements.
joined <- function(level, texts) {
  count <- length(level$lists)
  is_object <- !vapply(level$names, is.null, NA)
  list_of <- rep.int(seq_len(count), level$sizes)
  named <- is_object[list_of]
  if (any(named)) {
    names <- unlist(level$names[is_object], use.names = FALSE)
    nameless <- !nzchar(names)
    names[nameless] <- sequence(level$sizes)[named][nameless]
    texts[named] <- paste0(string_text(names), ":", texts[named])
  }
  within <- if (count == 1L) list(texts) else split.default(texts, factor(list_of, seq_len(count)))
  within <- vapply(within, paste, "", collapse = ",", USE.NAMES = FALSE)
  paste0(ifelse(is_object, "{", "["), within, ifelse(is_object, "}", "]"))
}
