// The files that processes have mapped: opened by the drain thread when first seen, parsed by the symbol thread when
// a name is first asked for. Equal files (by identity, or one user's by build ID) share one descriptor and one table,
// so that 200 workers, or 200 containers of one image, cost as much as one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "../core/unique_fd.h"
#include "elf_symbols.h"
#include "file_stamp.h"
#include "process_maps.h"
#include "source_lines.h"
#include "symbols.h"

namespace lowflame {

class FileCache {
 public:
  FileCache();

  struct Opened {
    std::string key;       // equal keys are one module: path and content, or path and identity
    std::string build_id;  // hex, "" if none
    std::string content;   // see ContentOf: what was stripped keeps its build ID. "": shared with nobody
  };
  // Drain thread. Opens the file behind a mapping of a process: the mapping itself, or else its path in the process's
  // root if that still is the same file. Attach must follow for a new module.
  Opened Open(uint32_t pid, const Mapping& mapping);
  // Any thread. See Symbolizer::WithFile.
  bool With(uint32_t module, const std::function<bool(int file, int root)>& use);
  // Drain thread. From now on `module` stands for what `key` was opened as.
  void Attach(uint32_t module, const std::string& key);

  // Symbol thread. Mangled name, "" if none.
  std::string NameAt(uint32_t module, uint64_t file_offset);
  // Symbol thread. Where in the file the function begins that holds `file_offset`: for one that NameAt has no name for.
  std::optional<uint64_t> BeginAt(uint32_t module, uint64_t file_offset);
  // Symbol thread. Equal for modules of one file; 0 if it could not be opened.
  uint64_t FileOf(uint32_t module);
  // Symbol thread. See Symbolizer::Places; names are mangled. Debug information of one file is held at a time.
  std::vector<SourcePlace> PlacesAt(uint32_t module, uint64_t file_offset, const std::atomic<bool>* stop);

  void AddTo(SymbolStats* stats);

 private:
  struct Root {
    UniqueFd fd;
  };
  // Whoever has taken it out of its slot may use it without the mutex: the descriptor never changes, and the table is
  // the symbol thread's alone. It closes with its last user.
  struct File {
    std::string path, identity;
    UniqueFd fd;
    std::shared_ptr<Root> root;  // nullptr: ours
    std::unique_ptr<ElfSymbols> symbols;
    uint64_t last_used = 0, bytes = 0;  // under the mutex
    int descriptors = 1;                // under the mutex
    bool counted = false;               // what of it was refused, under the mutex
    // the symbol thread's alone
    std::optional<FileStamp> stamp;  // of when it was first parsed
    bool debug_refused = false;      // its debug information
    bool changed = false;            // and counted as such
  };
  // What keys and modules point at; empty if the file could not be opened, is no ELF file, or had to be closed.
  struct Slot {
    std::shared_ptr<File> file;
    bool no_elf = false;
  };
  // Empty if it is not open. Counts as use.
  std::shared_ptr<File> FileBehind(uint32_t module, std::shared_ptr<Slot>* slot);
  std::shared_ptr<Root> RootOf(uint32_t pid);
  std::shared_ptr<Slot>& SlotOf(const Opened& opened);
  void Drop(Slot* slot);
  void CloseOldest();
  void NoteChanged(File* file);
  void FreeTables(const File* keep);

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Slot>> by_key_, by_content_;
  std::unordered_map<uint32_t, std::shared_ptr<Slot>> by_module_;
  std::unordered_map<std::string, Opened> by_identity_;
  std::map<std::pair<uint64_t, uint64_t>, std::weak_ptr<Root>> roots_;
  uint64_t own_root_device_ = 0, own_root_inode_ = 0;
  int descriptors_ = 0, max_descriptors_ = 0;
  uint64_t clock_ = 0, symbol_bytes_ = 0, opened_ = 0, failed_ = 0, refused_ = 0, debug_refused_ = 0, changed_ = 0;

  // the symbol thread's alone
  std::shared_ptr<File> sources_of_;
  std::unique_ptr<SourceLines> sources_;
};

}  // namespace lowflame
