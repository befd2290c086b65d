// Who may have written a file: what it says of names and stacks may be told of other files only on that user's word.
#pragma once

#include <string>

namespace lowflame {

// Equal for copies of one program whose names and tables may be shared: build ID, size and owner. What a file says can
// be edited without a change of build ID and size, but only by who may write it: so a user's copies stand for that
// user's programs alone. "" without a build ID, and where the owner does not tell who wrote it: group or others may
// write it too, the owner is not known here (65534), or a user's program answers for the file system (FUSE).
std::string ContentOf(int fd, const std::string& build_id);

// Whether a debug file may name the functions of a program: it belongs to root, or to the program's owner. A process
// may have its root wherever its user has made one, with the real program bound into it. On FUSE the program must be
// there too.
bool MaySpeakFor(int debug_file, int program);

}  // namespace lowflame
