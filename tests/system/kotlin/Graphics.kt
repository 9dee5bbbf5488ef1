@file:Suppress("unused", "UNUSED_PARAMETER")

package android.graphics

abstract class Bitmap {
    abstract val width: Int
    abstract val height: Int

    abstract fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int)
}

object BitmapFactory {
    class Options {
        @JvmField var inScaled: Boolean = true
    }

    @JvmStatic
    fun decodeByteArray(data: ByteArray, offset: Int, length: Int, options: Options?): Bitmap? = TODO()
}
